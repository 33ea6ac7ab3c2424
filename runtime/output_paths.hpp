#pragma once

#include "runtime/options.hpp"

namespace pikv::runtime {

/// For rank 0, before work starts: no two outputs are the same file, none would overwrite an input, and a NAME.part can be made beside
/// each name (it is removed again). Throws InputError naming the option.
void check_output_paths(GenerateOptions const& options);

}  // namespace pikv::runtime
