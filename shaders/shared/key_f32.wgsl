// Elements of one position of K that are neighbours, 16 bytes of f32.
const KEY = 4u;
