# What a job needs before it works: options, units, log (pikv_options); and in pikv_runtime, which exists already, output paths, and what
# --version says. Included at the end of runtime/CMakeLists.txt.
set(here ${CMAKE_CURRENT_LIST_DIR})
add_library(pikv_options ${here}/calibration/calibrate_options.cpp ${here}/fidelity/evaluate_options.cpp ${here}/fidelity/sweep_options.cpp
                         ${here}/given.cpp ${here}/log.cpp ${here}/options.cpp ${here}/units.cpp)
target_link_libraries(pikv_options PUBLIC pikv_flags pikv_cache pikv_policies Boost::program_options fmt::fmt spdlog::spdlog)
set_source_files_properties(${here}/fidelity/sweep_options.cpp ${here}/options.cpp PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)

target_sources(pikv_runtime PRIVATE ${here}/build_info.cpp ${here}/output_paths.cpp)
target_link_libraries(pikv_runtime PUBLIC pikv_options)

add_custom_target(pikv_commit COMMAND ${CMAKE_COMMAND} -D SOURCE=${PROJECT_SOURCE_DIR} -D HEADER=${PROJECT_BINARY_DIR}/generated/pikv_commit.hpp
                                      -P ${here}/commit.cmake
                  BYPRODUCTS ${PROJECT_BINARY_DIR}/generated/pikv_commit.hpp)
add_dependencies(pikv_runtime pikv_commit)
set_source_files_properties(${here}/build_info.cpp PROPERTIES COMPILE_DEFINITIONS
  "PIKV_VERSION=\"${PROJECT_VERSION}\";PIKV_COMPILER=\"${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}\"")
