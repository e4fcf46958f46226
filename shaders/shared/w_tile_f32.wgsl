// Four weight rows in workgroup memory.
alias WQuad = vec4f;

// From one thread's first quad to its neighbour's, and from a thread's first to its second: each read is of neighbours.
const W_NEAR = 1u;
const W_FAR = THREADS_W;
