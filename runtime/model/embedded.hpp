#pragma once

#include <filesystem>

namespace pikv::runtime {

/// The folder of the embedded tiny MoE, the sample prompts, and text the model has not seen. Looked for in PIKV_DATA if that is set (the data folder; for the model
/// also its own folder), else beside the executable (installed: ../share/pikv; build tree: ../data), else in the source tree it was
/// built from. InputError says where it looked.
std::filesystem::path embedded_model_dir();
std::filesystem::path sample_prompts_file();
std::filesystem::path held_out_file();

}   // namespace pikv::runtime
