#pragma once

#include <memory>

#include "runtime/scheduling/schedulers.hpp"

namespace pikv::runtime {

/// TOVA (methods 4.9, arXiv 2401.06104): u = the share of attention that the last query gave the page, mean over all query heads of the layer, so
/// one choice for all of them. The page of the last token has u = 1 (kvpress' TOVAPress forces it in). A page the last query did not read has 0.
/// State: 8 bytes a page.
std::unique_ptr<Scheduler> make_tova(SchedulerMaterial const& material);

}   // namespace pikv::runtime
