// Places in what a step of AdamW goes by.
const RATE = 0u;
const CORRECTION1 = 1u;
const CORRECTION2 = 2u;
const DECAY = 3u;
const BETA1 = 4u;
const BETA2 = 5u;
const EPSILON = 6u;
const MOST_NORM = 7u;
// What clip.wgsl leaves: what gradients are multiplied with, and their norm.
const FACTOR = 8u;
const NORM = 9u;
