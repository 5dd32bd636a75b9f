// The round trip to a pool of threads and back, by Boost.Asio: post, and a future to wait for.

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <future>

#include "../micro/measure.h"

namespace {

boost::asio::thread_pool* pool;

void offload(long n) {
  for (long i = 0; i < n; ++i)
    (void)boost::asio::post(*pool, boost::asio::use_future([i] { return i; })).get();
}

}  // namespace

int main() {
  boost::asio::thread_pool threads(2);
  pool = &threads;
  emit_begin("asio");
  emit("offload", measure(offload, 50'000));
  threads.join();
  return emit_end();
}
