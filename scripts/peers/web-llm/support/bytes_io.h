// In place of src/support/bytes_io.h.
#pragma once
#include <tvm/support/bytes_io.h>
