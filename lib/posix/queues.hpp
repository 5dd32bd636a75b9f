// POSIX message queues; see sockets.hpp for what all twins share.
#pragma once

#include <mqueue.h>

namespace coir::posix {

// `until`: on CLOCK_REALTIME, or null.
ssize_t mq_receive(mqd_t queue, char* message, size_t size, unsigned* priority,
                   const timespec* until) noexcept;
int mq_send(mqd_t queue, const char* message, size_t size, unsigned priority, const timespec* until) noexcept;

}  // namespace coir::posix
