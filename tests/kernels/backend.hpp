#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "coded_problem.hpp"

namespace pikv::kernels {

struct Operations;
extern Operations const host_operations, cuda_operations;

/// One implementation of the operations, called with data in host memory. The conformance cases (*_cases.cpp) run on each that this program has.
struct Backend {
  char const* name;
  std::string (*why_absent)();   // empty: it can run
  Partial (*attend)(Problem& problem, std::vector<float>* page_lse);
  void (*merge)(Partial& into, Partial& part, std::int32_t rows, std::int32_t heads, std::int32_t d);
  void (*encode)(CodedProblem& problem);   // every page of `plain`
  void (*decode)(CodedProblem& problem);   // every coded page, to `rebuilt`
  Partial (*attend_coded)(CodedProblem& problem, std::vector<float>* page_lse);
  Operations const* operations;   // operations.hpp
};

inline void PrintTo(Backend const* backend, std::ostream* to) { *to << backend->name; }

/// Those of this program: the host's, and CUDA's where it is built; or the emulated CUDA's alone.
std::vector<Backend const*> const& backends();
extern Backend const host_backend, cuda_backend;

#define PIKV_SKIP_WITHOUT(backend) \
  if (std::string const absent = (backend)->why_absent(); !absent.empty()) GTEST_SKIP() << absent

}  // namespace pikv::kernels
