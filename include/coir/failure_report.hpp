#pragma once

namespace coir {

/// When the first exception (not coir::cancelled) that leaves a fiber of a group or pool is told, by what
/// set_unhandled_exception_handler says, by default on stderr. One whose fiber has a handle left is never
/// told: that is for `get`. Whatever is told, join throws it. What leaves others before that is told when it
/// happens.
enum class failure_report {
  unless_awaited,  ///< When it happens, unless somebody waits in join: the default.
  at_once,         ///< When it happens: where join waits for long, as in a server.
  by_join          ///< Not before join throws it.
};

}  // namespace coir
