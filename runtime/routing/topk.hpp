#pragma once

#include <memory>

#include "runtime/routing/routers.hpp"

namespace pikv::runtime {

/// Router `topk` (methods 2.2): the k experts of highest affinity, that is of highest p = softmax(affinity).
std::unique_ptr<Router> make_topk_router(RouterMaterial const& material);

}  // namespace pikv::runtime
