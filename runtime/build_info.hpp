#pragma once

#include <string>
#include <vector>

namespace pikv::runtime {

/// What this executable was built from and runs with; for --version, the trace and the report.
struct BuildFact {
  std::string name, value;   // "HDF5", "1.10.8"
};

std::string version();   // "0.1.0"
std::string commit();    // of the tree at build time, "-dirty" behind it if files differed; "unknown" outside a git checkout
/// compiler, MPI, UCX, HDF5, sentencepiece, CUDA, NCCL, transports, SIMD; "not built in" where so.
std::vector<BuildFact> build_facts();

}  // namespace pikv::runtime
