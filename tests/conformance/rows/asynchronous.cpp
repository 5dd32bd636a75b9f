// Asynchronous I/O of libc: who waits for it lets the others run.
#include <aio.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "../row.hpp"
#include "../things.hpp"

using namespace conformance;

namespace {

aiocb reading(int fd, char* into, std::size_t size) {
  aiocb request = {};
  request.aio_fildes = fd;
  request.aio_buf = into;
  request.aio_nbytes = size;
  request.aio_lio_opcode = LIO_READ;
  request.aio_sigevent.sigev_notify = SIGEV_NONE;
  return request;
}

}  // namespace

COIR_ROW("aio: aio_suspend waits for one of the requests, or for its time") {
  const both_ends p = make(kind::pipe), q = make(kind::pipe);
  char first[8] = {}, second[8] = {};
  aiocb a = reading(p.a, first, sizeof first), b = reading(q.a, second, sizeof second);
  const aiocb* const both[] = {nullptr, &a, &b};
  COIR_OBSERVE(o, aio_read(&a));
  COIR_OBSERVE(o, aio_read(&b));
  timespec t = {0, 30'000'000};
  const stopwatch since;
  COIR_OBSERVE(o, aio_suspend(both, 3, &t));
  o.took(since, 30);
  flow waiter("waiter", [&](log& w) {
    COIR_OBSERVE(w, aio_suspend(both, 3, nullptr));
    w.say("%s %s", name_of_error(aio_error(&a)), name_of_error(aio_error(&b)));
  });
  settle();
  o.say("the waiter %s", waiter.state());
  write_all(q.b, "hello");
  waiter.join();
  COIR_OBSERVE(o, aio_return(&b));
  write_all(p.b, "again");
  const aiocb* const one[] = {&a};
  COIR_OBSERVE(o, aio_suspend(one, 1, nullptr));
  COIR_OBSERVE(o, aio_return(&a));
  o.say("%s %s", first, second);
}

COIR_ROW("aio: lio_listio waits for all requests, if asked to") {
  const both_ends p = make(kind::pipe), q = make(kind::pipe);
  char first[8] = {}, second[8] = {};
  aiocb a = reading(p.a, first, sizeof first), b = reading(q.a, second, sizeof second);
  aiocb* both[] = {&a, &b};
  flow waiter("waiter", [&](log& w) { COIR_OBSERVE(w, lio_listio(LIO_WAIT, both, 2, nullptr)); });
  settle();
  write_all(p.b, "one");
  settle();
  o.say("the waiter %s", waiter.state());
  write_all(q.b, "two");
  waiter.join();
  o.say("%zd %zd %s %s", aio_return(&a), aio_return(&b), first, second);
  const stopwatch since;
  COIR_OBSERVE(o, lio_listio(LIO_NOWAIT, both, 1, nullptr));
  COIR_OBSERVE(o, lio_listio(77, both, 1, nullptr));
  o.took_no_time(since);
  write_all(p.b, "three");
  const aiocb* const one[] = {&a};
  COIR_OBSERVE(o, aio_suspend(one, 1, nullptr));
}
