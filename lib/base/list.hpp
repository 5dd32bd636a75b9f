// An intrusive doubly linked list. Nodes are embedded in their owners; nothing is ever allocated.
// I1: a node's `next` is null exactly when it is in no list, so `linked()` costs one load.
// I2: a signal handler may walk its thread's list forwards, by `next`, whatever it interrupted.
#pragma once

#include <atomic>

#include "base/check.hpp"

namespace coir::base {

struct list_node {
  list_node* next = nullptr;
  list_node* prev = nullptr;

  bool linked() const noexcept { return next != nullptr; }

  void unlink() noexcept {
    next->prev = prev;
    prev->next = next;
    std::atomic_signal_fence(std::memory_order_release);  // I2
    next = prev = nullptr;
  }
};

// `item` is in no list.
inline void insert_after(list_node* before, list_node* item) noexcept {
  item->prev = before;
  item->next = before->next;
  before->next->prev = item;
  std::atomic_signal_fence(std::memory_order_release);  // I2
  before->next = item;
}

// A list of T, each of which derives from list_node (once).
template <class T>
class list {
 public:
  list() noexcept { root_.next = root_.prev = &root_; }
  list(const list&) = delete;
  list& operator=(const list&) = delete;

  bool empty() const noexcept { return root_.next == &root_; }
  T* front() noexcept { return empty() ? nullptr : static_cast<T*>(root_.next); }

  // The element after `item`, or null at the end.
  T* after(T* item) noexcept {
    list_node* n = static_cast<list_node*>(item)->next;
    return n == &root_ ? nullptr : static_cast<T*>(n);
  }

  void push_back(T* item) noexcept { insert_after(root_.prev, item); }
  void push_front(T* item) noexcept { insert_after(&root_, item); }

  T* pop_front() noexcept {
    T* item = front();
    if (item != nullptr) static_cast<list_node*>(item)->unlink();
    return item;
  }

  // Takes all elements of `other`, in order, to the end of this list.
  void append(list& other) noexcept {
    if (other.empty()) return;
    other.root_.next->prev = root_.prev;
    root_.prev->next = other.root_.next;
    other.root_.prev->next = &root_;
    root_.prev = other.root_.prev;
    other.root_.next = other.root_.prev = &other.root_;
  }

 private:
  list_node root_;
};

}  // namespace coir::base
