#include "task/report.hpp"

#include <cxxabi.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <typeinfo>

#include "base/check.hpp"
#include "coir/detail/call_state.hpp"
#include "coir/inspect.hpp"
#include "wait/describe.hpp"

namespace coir::task {
namespace {

std::atomic<unhandled_exception_handler> handler{nullptr};

std::string description(const std::exception_ptr& error) {
  std::string text;
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    text = e.what();
  } catch (...) {
    text = "no text";
  }
  const std::type_info* type = error.__cxa_exception_type();
  std::string name = type != nullptr ? type->name() : "?";
  int status = 0;
  if (char* readable = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status)) {
    name = readable;
    std::free(readable);
  }
  return name + ": " + text;
}

void no_memory() noexcept {
  base::write_text(2, "coir: a fiber threw, and there is no memory to say what\n");
}

}  // namespace

void report_exception(std::exception_ptr error, const std::string& who) noexcept {
  try {
    base::write_text(2, ("coir: " + who + " threw " + description(error) + "\n").c_str());
  } catch (...) {
    no_memory();
  }
}

void report_exception(const sched::fiber& f, std::exception_ptr error, const char* prefix) noexcept {
  try {
    report_exception(std::move(error), std::string(prefix) + " fiber #" + std::to_string(f.id) + " \"" +
                                           f.display_name() + "\"");
  } catch (...) {
    no_memory();
  }
}

void report_unseen(const sched::fiber& f, std::exception_ptr error, const char* remedy) noexcept {
  const unhandled_exception_handler h =
      handler.load(std::memory_order_acquire);  // pairs with the exchange below
  try {
    if (h != nullptr) return h(f.id, f.display_name(), error);
  } catch (...) {
    return report_exception(f, std::current_exception(), "the unhandled exception handler, called for");
  }
  try {
    std::string text;
    base::text_out out(text);
    out.text("coir: fiber #").number(f.id).text(" \"").text(f.display_name()).text("\"");
    if (f.spawn_site != nullptr) sched::describe_site(out.text(", spawned at "), f.spawn_site);
    out.text(", ended by ").text(description(error).c_str()).text("\n      (").text(remedy).text(")\n");
    base::write_text(2, text.c_str());
  } catch (...) {
    no_memory();
  }
}

void report_unseen_job(std::exception_ptr error) noexcept {
  const unhandled_exception_handler h = handler.load(std::memory_order_acquire);  // as above
  try {
    if (h != nullptr) return h(0, "job", error);
  } catch (...) {
    return report_exception(std::current_exception(), "the unhandled exception handler, called for a job,");
  }
  try {
    base::write_text(
        2, ("coir: a job ended by " + description(error) +
            "\n      (its future is gone: keep it and call get, or catch the exception in the job)\n")
               .c_str());
  } catch (...) {
    no_memory();
  }
}

}  // namespace coir::task

void coir::detail::report_unseen_call(std::exception_ptr error) noexcept {
  task::report_unseen_job(std::move(error));
}

namespace coir {

unhandled_exception_handler set_unhandled_exception_handler(unhandled_exception_handler h) noexcept {
  return task::handler.exchange(h, std::memory_order_acq_rel);
}

}  // namespace coir
