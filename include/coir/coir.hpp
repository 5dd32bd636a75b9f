// Everything of coir. Link coir; link coir-patch to make existing blocking code yield.
#pragma once

#include "coir/as_completed.hpp"
#include "coir/attributes.hpp"
#include "coir/barrier.hpp"
#include "coir/channel.hpp"
#include "coir/condition_variable.hpp"
#include "coir/event.hpp"
#include "coir/exit_status.hpp"
#include "coir/failure_report.hpp"
#include "coir/fiber.hpp"
#include "coir/gather.hpp"
#include "coir/group.hpp"
#include "coir/inherited.hpp"
#include "coir/inspect.hpp"
#include "coir/latch.hpp"
#include "coir/later.hpp"
#include "coir/local.hpp"
#include "coir/map.hpp"
#include "coir/mutex.hpp"
#include "coir/offload.hpp"
#include "coir/on_signal.hpp"
#include "coir/patch.hpp"
#include "coir/pipe_stream.hpp"
#include "coir/pool.hpp"
#include "coir/post.hpp"
#if __has_include(<cereal/cereal.hpp>)
#include "coir/process_pool.hpp"
#endif
#include "coir/promise.hpp"
#include "coir/queue.hpp"
#include "coir/remote_error.hpp"
#include "coir/run.hpp"
#include "coir/select.hpp"
#include "coir/semaphore.hpp"
#include "coir/shared_mutex.hpp"
#include "coir/subprocess.hpp"
#include "coir/this_fiber.hpp"
#include "coir/thread_pool.hpp"
#include "coir/timeout.hpp"

/// Green threads: `#include <coir/coir.hpp>` and link coir; link coir-patch to make existing blocking code
/// yield.
///
/// Whatever suspends lets the other fibers of its thread run. A thread's own stack is a fiber as well, its
/// main one, so everything may be called everywhere but in signal handlers, unless it says otherwise.
namespace coir {}
