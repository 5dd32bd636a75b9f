// Exceptions that nobody can catch any more, told to a person.
#pragma once

#include <exception>
#include <string>

#include "wait/waiter.hpp"

namespace coir::task {

// An exception left a fiber, and nobody asks for it: calls the handler of set_unhandled_exception_handler, by
// default "coir: fiber #7 "name", spawned at …, ended by std::runtime_error: text" and `remedy` on stderr.
void report_unseen(const sched::fiber& f, std::exception_ptr error,
                   const char* remedy =
                       "no handle of it is left: keep one and call get, or catch the "
                       "exception in the fiber") noexcept;

// "coir: <prefix> fiber #7 "name" threw std::runtime_error: text" on stderr.
void report_exception(const sched::fiber& f, std::exception_ptr error, const char* prefix) noexcept;

// The same for a job of a thread pool or a posted call, whose future is gone.
void report_unseen_job(std::exception_ptr error) noexcept;

// "coir: <who> threw std::runtime_error: text" on stderr.
void report_exception(std::exception_ptr error, const std::string& who) noexcept;

}  // namespace coir::task
