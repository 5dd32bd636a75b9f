// Forbids this process a system call, as containers do.
#pragma once

namespace fault {

// From now on `number` fails with `error`. False if the kernel does not let us install a filter.
bool forbid_system_call(int number, int error);

}  // namespace fault
