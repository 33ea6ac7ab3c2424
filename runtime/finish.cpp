#include "runtime/request.hpp"

namespace pikv::runtime {

char const* to_string(Finish finish) {
  switch (finish) {
    case Finish::eos: return "eos";
    case Finish::length: return "length";
    case Finish::stop: return "stop";
    case Finish::error: return "error";
  }
  return "unknown";
}

}  // namespace pikv::runtime
