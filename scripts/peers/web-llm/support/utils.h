// In place of src/support/utils.h, of which the runtime of a page uses nothing.
#pragma once
