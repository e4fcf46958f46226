// Eight of what a thread loads at a time, before any of them is used; Raw is what one load gives.
struct Eight {
  a: Raw,
  b: Raw,
  c: Raw,
  d: Raw,
  e: Raw,
  f: Raw,
  g: Raw,
  h: Raw,
}
