#include "base/inbox.hpp"

#include <atomic>
#include <memory>
#include <vector>

#include "catch.hpp"
#include "support/real_time.hpp"

using namespace unit;

namespace {

struct letter : coir::base::inbox_node {
  int sender = 0;
  int number = 0;
};

}  // namespace

TEST_CASE("inbox: many threads push, everything arrives once, each thread's in order") {
  constexpr int senders = 4, letters = 5000;
  coir::base::inbox box;
  std::vector<std::vector<letter>> mail(senders, std::vector<letter>(letters));
  joined_threads threads;
  for (int s = 0; s < senders; ++s)
    threads.start([&, s] {
      for (int i = 0; i < letters; ++i) {
        letter& l = mail[static_cast<std::size_t>(s)][static_cast<std::size_t>(i)];
        l.sender = s;
        l.number = i;
        box.push(&l);
      }
    });
  int received = 0, out_of_order = 0;
  std::vector<int> next(senders, 0);
  while (received < senders * letters) {
    for (auto* n = box.take_all(); n != nullptr; n = n->next_in_inbox) {
      const auto* l = static_cast<letter*>(n);
      if (next[static_cast<std::size_t>(l->sender)]++ != l->number) ++out_of_order;
      ++received;
    }
    std::this_thread::yield();
  }
  threads.join();
  CHECK(out_of_order == 0);
  CHECK(box.empty());
}
