// Elements of one position of K that are neighbours: 16 bytes of f16, or half of that where a head is of an odd number of fours,
// or so large that threads have no room for eight times 16 bytes.
const KEY = select(4u, 8u, HEAD_DIM % 8u == 0u && HEAD_DIM <= 64u);
