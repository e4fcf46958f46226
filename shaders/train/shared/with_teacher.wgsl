const HAS_TEACHER = true;

fn teacher_at(i: u32) -> Some {
  return teacher[i];
}
