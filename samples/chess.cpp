// Shows: one chess master against 24 opponents at once: everybody thinks in ::usleep, the master is a mutex.
// Try:   ./chess       (5.4 s; a minute of the exhibition takes 60 ms)

#include <unistd.h>

#include <chrono>
#include <coir/coir.hpp>
#include <cstdio>
#include <mutex>

namespace {

using std::chrono::steady_clock;
using minutes = std::chrono::duration<double, std::ratio<60, 1000>>;  // of the exhibition

constexpr int boards = 24;
constexpr int moves = 30;

struct exhibition {
  std::mutex master;  // moves on one board at a time
  steady_clock::time_point start = steady_clock::now();
  minutes first_pass{};  // until every board had its first move

  minutes elapsed() const { return steady_clock::now() - start; }
};

void play(exhibition& hall) {
  for (int move = 0; move < moves; ++move) {
    {
      const std::lock_guard at_this_board(hall.master);
      ::usleep(5'000);  // 5 s for the master
    }
    if (move == 0) hall.first_pass = hall.elapsed();
    ::usleep(55'000);  // 55 s for the opponent
  }
}

}  // namespace

int main() {
  exhibition single;
  play(single);
  const minutes one_game = single.elapsed();
  std::printf("one game: %.1f minutes, so %d in turn: %.1f hours\n", one_game.count(), boards,
              one_game.count() * boards / 60);

  exhibition simultaneous;
  coir::group games;
  for (int board = 0; board < boards; ++board) games.spawn(play, std::ref(simultaneous));
  games.join();
  std::printf("%d games at once: first pass %.1f minutes, all %.1f hours\n", boards,
              simultaneous.first_pass.count(), simultaneous.elapsed().count() / 60);
}
