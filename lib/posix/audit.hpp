// COIR_AUDIT=1: reports each system call by which a fiber makes its thread wait outside the patch.
#pragma once

namespace coir::posix {

// Before the first scheduler: from now on the thread of each new one is audited. Ends the process, with a
// message, where that cannot be.
void start_audit() noexcept;

// Whether the audit, which runs, needs this signal for itself.
bool audits_by(int signal) noexcept;

}  // namespace coir::posix
