// A lock-free inbox: any thread pushes, its owner takes everything in order of arrival.
// A Treiber stack reversed by the taker: pushes never fail, never allocate, and cost one compare-exchange.
#pragma once

#include <atomic>

namespace coir::base {

struct inbox_node {
  inbox_node* next_in_inbox = nullptr;
  void (*deliver)(inbox_node* self) noexcept = nullptr;  // what the owner does with it
};

class inbox {
 public:
  // Any thread. Returns true if the inbox was empty.
  bool push(inbox_node* node) noexcept {
    inbox_node* head = head_.load(std::memory_order_relaxed);
    do {
      node->next_in_inbox = head;
      // release: pairs with the acquire in take_all, so the taker sees what was written to the node.
    } while (!head_.compare_exchange_weak(head, node, std::memory_order_seq_cst, std::memory_order_relaxed));
    return head == nullptr;
  }

  bool empty() const noexcept { return head_.load(std::memory_order_relaxed) == nullptr; }
  // Null while it is empty: for inline code.
  const std::atomic<inbox_node*>& head() const noexcept { return head_; }

  // Owner only. The oldest node, linked by next_in_inbox to the newest; null when empty.
  inbox_node* take_all() noexcept {
    inbox_node* newest = head_.exchange(nullptr, std::memory_order_acquire);
    inbox_node* oldest = nullptr;
    while (newest != nullptr) {
      inbox_node* next = newest->next_in_inbox;
      newest->next_in_inbox = oldest;
      oldest = newest;
      newest = next;
    }
    return oldest;
  }

 private:
  std::atomic<inbox_node*> head_{nullptr};
};

}  // namespace coir::base
