// Who waits for a primitive: an intrusive queue of waiters and its lock. Internal; see
// lib/wait/wait_queue.hpp.
#pragma once

#include "coir/detail/threads.hpp"

namespace coir::detail {

struct wait_node {
  wait_node* next = nullptr;
  wait_node* prev = nullptr;
};

// First in, first out; guarded by `lock`, which also guards the state of the primitive it belongs to.
struct wait_list {
  spin_lock lock;
  wait_node* head = nullptr;
  wait_node* tail = nullptr;

  bool empty() const noexcept { return head == nullptr; }

  void push_back(wait_node* n) noexcept {
    n->next = nullptr;
    n->prev = tail;
    (tail != nullptr ? tail->next : head) = n;
    tail = n;
  }
  void push_front(wait_node* n) noexcept {
    n->prev = nullptr;
    n->next = head;
    (head != nullptr ? head->prev : tail) = n;
    head = n;
  }
  void remove(wait_node* n) noexcept {
    (n->prev != nullptr ? n->prev->next : head) = n->next;
    (n->next != nullptr ? n->next->prev : tail) = n->prev;
  }
};

}  // namespace coir::detail
