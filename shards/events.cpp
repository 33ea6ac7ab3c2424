#include "shards/events.hpp"

namespace pikv::shards {

char const* to_string(PageEvent event) {
  switch (event) {
    case PageEvent::seal: return "seal";
    case PageEvent::place: return "place";
    case PageEvent::push: return "push";
    case PageEvent::index: return "index";
    case PageEvent::acknowledge: return "acknowledge";
    case PageEvent::fetch: return "fetch";
    case PageEvent::hit: return "hit";
    case PageEvent::miss: return "miss";
    case PageEvent::stale: return "stale";
    case PageEvent::evict: return "evict";
    case PageEvent::migrate: return "migrate";
    case PageEvent::corrupt: return "corrupt";
    case PageEvent::rewind: return "rewind";
    case PageEvent::release: return "release";
    case PageEvent::restore: return "restore";
    case PageEvent::demote: return "demote";
    case PageEvent::promote: return "promote";
    case PageEvent::recode: return "recode";
  }
  return "unknown";
}

}  // namespace pikv::shards
