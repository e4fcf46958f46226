// Four rows of x in workgroup memory.
alias XQuad = vec4f;

// From one thread's first quad to its neighbour's, and from a thread's first to its second: each read is of neighbours.
const X_NEAR = 1u;
const X_FAR = THREADS_X;
