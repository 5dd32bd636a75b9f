// A message of one piece with room for what comes beside it: descriptors.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>

namespace conformance {

struct control_message {
  alignas(cmsghdr) char control[256] = {};
  char data[64] = {};
  iovec v = {data, sizeof data};
  msghdr m = {};

  control_message() {
    m.msg_iov = &v;
    m.msg_iovlen = 1;
    make_room();
  }
  control_message(const control_message&) = delete;
  control_message& operator=(const control_message&) = delete;

  // For what is to be received.
  void make_room() noexcept {
    m.msg_control = control;
    m.msg_controllen = sizeof control;
  }
  // It brings these descriptors.
  void carry(const int* fds, std::size_t count) noexcept {
    m.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    cmsghdr* h = CMSG_FIRSTHDR(&m);
    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(int) * count);
    std::memcpy(CMSG_DATA(h), fds, sizeof(int) * count);
  }
  // The first that came, or -1.
  int first_descriptor() noexcept {
    int fd = -1;
    if (const cmsghdr* h = CMSG_FIRSTHDR(&m)) std::memcpy(&fd, CMSG_DATA(h), sizeof fd);
    return fd;
  }
};

}  // namespace conformance
