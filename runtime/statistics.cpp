#include "runtime/statistics.hpp"

namespace pikv::runtime {

char const* to_string(Stage stage) {
  switch (stage) {
    case Stage::attention: return "attention";
    case Stage::ffn: return "ffn";
    case Stage::routing: return "routing";
    case Stage::codec: return "codec";
    case Stage::scheduling: return "scheduling";
    case Stage::communication: return "communication";
    case Stage::other: return "other";
  }
  return "unknown";
}

char const* to_string(Purpose purpose) {
  switch (purpose) {
    case Purpose::push: return "push";
    case Purpose::fetch: return "fetch";
    case Purpose::query: return "query";
    case Purpose::partial: return "partial";
    case Purpose::dispatch: return "dispatch";
    case Purpose::combine: return "combine";
    case Purpose::control: return "control";
  }
  return "unknown";
}

char const* to_string(Locality locality) {
  switch (locality) {
    case Locality::rank: return "rank";
    case Locality::node: return "node";
    case Locality::remote: return "remote";
  }
  return "unknown";
}

}  // namespace pikv::runtime
