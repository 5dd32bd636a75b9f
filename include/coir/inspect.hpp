#pragma once

#include <cstdint>
#include <exception>
#include <string>

namespace coir {

/// Called for an exception that left a fiber of which no handle is left. `name` lives during the call only.
using unhandled_exception_handler = void (*)(std::uint64_t id, const char* name, std::exception_ptr error);

/// Sets what is called instead of the line on stderr, for all threads; null restores that. Returns the former
/// one. The handler runs on the fiber's thread, must not wait, and may be called during a switch. Any thread.
unhandled_exception_handler set_unhandled_exception_handler(unhandled_exception_handler h) noexcept;

/// What this thread's fibers do.
namespace inspect {

/// One line per fiber of this thread: number, name, state, what it waits for, where it was spawned.
/// Throws std::bad_alloc. Never suspends.
std::string dump();

/// How many fibers of this thread, without the main one, have not ended. Never suspends.
std::size_t fiber_count() noexcept;

/// The reactor of this thread: "epoll", "uring", or "none" while it has not been needed. Never
/// suspends.
const char* reactor_name() noexcept;

}  // namespace inspect
}  // namespace coir
