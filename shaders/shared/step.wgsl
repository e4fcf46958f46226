// One row of a forward: a token of one sequence at one position.
struct Row {
  token: u32,
  sequence: u32,
  position: u32,
  // Of the next step's rows: which of a call's replies it is, so that each draws by itself.
  reply: u32,
}

// What changes from call to call; everything else is a constant of the prelude.
struct Step {
  // Rows of this forward.
  rows: u32,
  // First row whose logits are wanted, and how many.
  first: u32,
  count: u32,
  // Row of the next step that the first sampled token goes to.
  next: u32,
}

// More than a step has: loops over rows that end at a constant get no second counter from browsers' compilers.
const MOST_ROWS = 1u << 20u;
