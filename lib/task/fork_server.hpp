// A process without threads that forks a pool's workers, so that they inherit nothing that came after it.
//
// On a socket of whole packets it is asked to start a worker, given its end of a socket pair, and how one
// ended. It kills all and ends when the socket is closed: with the pool, or with the pool's process. Workers
// die with it (PR_SET_PDEATHSIG).
// I1: a worker's socket is hung up when the worker has ended, whoever else has got a copy of it: the server
// has one, and shuts it down.
#pragma once

#include <sys/types.h>

#include <optional>

#include "coir/exit_status.hpp"
#include "coir/mutex.hpp"
#include "task/child.hpp"

namespace coir::task {

class fork_server {
 public:
  // Forks it. Suspends, uninterrupted. Throws std::system_error.
  fork_server();
  fork_server(const fork_server&) = delete;
  fork_server& operator=(const fork_server&) = delete;
  ~fork_server();

  struct worker {
    pid_t pid;
    int fd;  // of this side, see private_fds
  };
  // Both suspend, and throw std::system_error if the server has gone.
  worker start();
  // Kills it unless it has ended; how it ended.
  exit_status bury(pid_t pid);
  // Any thread; does not wait.
  void kill_all() noexcept;
  // Ends it, and waits for that.
  void stop();

  struct request;

 private:
  long ask(const request& r);

  mutex asking_;  // who sends waits for the answer
  int control_ = -1;
  std::optional<child> process_;
};

}  // namespace coir::task
