// Where each thread of matmul_tiled.wgsl has sums of its own.
fn finish_tile(sums: ptr<function, Sums>, lid: u32, row0: u32, column0: u32) {
  finish_sums(sums, lid, row0, column0);
}

#import tile_rows
