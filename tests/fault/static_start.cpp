// A fiber in the initialiser of a global object, in a program that links coir statically, and one in a global
// object's destructor. Exit status 0: both ran.
#include <unistd.h>
#include <coir/coir.hpp>

namespace {

const int early = coir::spawn([] {
                    coir::this_fiber::sleep_for(std::chrono::milliseconds(1));
                    return 7;
                  }).get();

struct waits_at_exit {
  ~waits_at_exit() {
    const int late = coir::spawn([] {
                       coir::this_fiber::sleep_for(std::chrono::milliseconds(1));
                       return 8;
                     }).get();
    ::_exit(early == 7 && late == 8 ? 0 : 1);
  }
};
const waits_at_exit object;

}  // namespace

int main() {
  return 2;
}
