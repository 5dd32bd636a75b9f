/// Everything of coir. `#include <coir/coir.hpp>` and link coir; link coir-patch to make existing blocking
/// code yield.
#pragma once

#include "coir/attributes.hpp"
#include "coir/channel.hpp"
#include "coir/condition_variable.hpp"
#include "coir/event.hpp"
#include "coir/fiber.hpp"
#include "coir/gather.hpp"
#include "coir/group.hpp"
#include "coir/inherited.hpp"
#include "coir/inspect.hpp"
#include "coir/local.hpp"
#include "coir/mutex.hpp"
#include "coir/patch.hpp"
#include "coir/promise.hpp"
#include "coir/queue.hpp"
#include "coir/run.hpp"
#include "coir/semaphore.hpp"
#include "coir/this_fiber.hpp"
#include "coir/timeout.hpp"
