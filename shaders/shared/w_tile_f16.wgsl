// Four weight rows in workgroup memory, of values that f16 holds.
enable f16;

alias WQuad = vec4<f16>;

// From one thread's first quad to its neighbour's, and from a thread's first to its second: both are one read.
const W_NEAR = 2u;
const W_FAR = 1u;
