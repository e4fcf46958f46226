// Four rows of x in workgroup memory, of values that f16 holds.
enable f16;

alias XQuad = vec4<f16>;

// From one thread's first quad to its neighbour's, and from a thread's first to its second: both are one read.
const X_NEAR = 2u;
const X_FAR = 1u;
