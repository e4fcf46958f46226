// Elements of one position of K that are neighbours: 16 bytes of f16, or half of that where a head is of an odd number of fours.
const KEY = 8u - HEAD_DIM % 8u;
