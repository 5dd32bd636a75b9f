#include <errno.h>

#include <system_error>

#include "reactor/reactor.hpp"
#include "sys/settings.hpp"

namespace coir::reactor {

namespace {

std::unique_ptr<reactor> make_chosen(fd_table& table) {
  const sys::reactor_choice choice = sys::read_settings().reactor;
  if (choice != sys::reactor_choice::epoll) {
    if (auto uring = make_uring(table)) return uring;
    if (choice == sys::reactor_choice::uring)
      throw std::system_error(
          ENOSYS, std::system_category(),
          "coir: COIR_REACTOR=uring: io_uring is missing or forbidden here; expected epoll or auto");
  }
  return make_epoll(table);
}

}  // namespace

std::unique_ptr<reactor> make_reactor(fd_table& table) try {
  return make_chosen(table);
} catch (const std::system_error& e) {
  const int error = e.code().value();
  if (error != EMFILE && error != ENFILE && error != ENOMEM) throw;
  return make_bare();
}

}  // namespace coir::reactor
