find_package(GTest REQUIRED)
include(GoogleTest)
option(PIKV_TESTS_TOGETHER "one executable for the unit tests of a folder: all are built in half the time, one after a change in more" OFF)

# pikv_add_test(name source... LIBS lib... [ALONE]): one CTest entry, for tests without MPI, and a target of its name. The target is an
# executable; with PIKV_TESTS_TOGETHER that of all unit tests of its folder, which are compiled together. ALONE stays out of that: tests
# with an operator new of their own, or of cases that stand in other sources.
function(pikv_add_test name)
  cmake_parse_arguments(arg "ALONE" "TIMEOUT" "LIBS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  set(environment OMP_WAIT_POLICY=passive)
  # Some 10 times slower: fewer cases, more time, and without what takes minutes of plain arithmetic: many ranks, schedulers with pages of one
  # token, statistics of replay.
  if(PIKV_SANITIZE)
    math(EXPR arg_TIMEOUT "5 * ${arg_TIMEOUT}")
    list(APPEND environment PIKV_SMALL_TESTS=1 PIKV_SOAK_FAULTS=5000 "GTEST_FILTER=-*_16_by_*:*_pages_of_1:SchedulerCacheTest.Batches*:WorkloadTest.PrefixesArePopular*")
  endif()
  if(PIKV_TESTS_TOGETHER AND NOT arg_ALONE)
    pikv_add_to_tests_of_folder("${arg_UNPARSED_ARGUMENTS}" "${arg_LIBS}")
    add_custom_target(${name} DEPENDS ${executable})
    add_test(NAME ${name} COMMAND ${executable} ${arg_UNPARSED_ARGUMENTS})
  else()
    add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
    target_link_libraries(${name} PRIVATE pikv_flags ${arg_LIBS} GTest::gtest GTest::gmock GTest::gtest_main)
    add_test(NAME ${name} COMMAND ${name})
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS unit ENVIRONMENT "${environment}")
endfunction()

# pikv_add_device_test(name source... LIBS lib...): a test of what runs on a device, on the emulated GPU; where CUDA is built in NAME.gpu, on a real one, since
# a process can have one CUDA runtime, and comm/ brings the real one.
function(pikv_add_device_test name)
  cmake_parse_arguments(arg "" "" "LIBS" ${ARGN})
  if(PIKV_CUDA)
    pikv_add_test(${name}.gpu ${arg_UNPARSED_ARGUMENTS} ${PROJECT_SOURCE_DIR}/tests/device_native.cpp LIBS pikv_cuda ${arg_LIBS} ALONE TIMEOUT 300)
    set_tests_properties(${name}.gpu PROPERTIES SKIP_REGULAR_EXPRESSION "skipped: needs a GPU: ")
  elseif(TARGET pikv_emulated_cuda)
    pikv_add_test(${name} ${arg_UNPARSED_ARGUMENTS} ${PROJECT_SOURCE_DIR}/tests/device_emulated.cpp LIBS pikv_emulated_cuda ${arg_LIBS} ALONE TIMEOUT 300)
  endif()
endfunction()

# Sets `executable` to that of this folder's tests.
function(pikv_add_to_tests_of_folder sources libs)
  file(RELATIVE_PATH folder ${PROJECT_SOURCE_DIR} ${CMAKE_CURRENT_SOURCE_DIR})
  string(REPLACE "/" "_" executable ${folder})
  if(NOT TARGET ${executable})
    add_executable(${executable})
    target_link_libraries(${executable} PRIVATE pikv_flags pikv_source_main GTest::gtest GTest::gmock)
    set_target_properties(${executable} PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 8)
  endif()
  target_sources(${executable} PRIVATE ${sources})
  target_link_libraries(${executable} PRIVATE ${libs})
  set(executable ${executable} PARENT_SCOPE)
endfunction()

# pikv_add_mpi_runs(name executable environment RANKS 1 2): a CTest entry NAME.npN of `executable` per rank count.
function(pikv_add_mpi_runs name executable environment)
  cmake_parse_arguments(arg "" "TIMEOUT" "RANKS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  foreach(ranks IN LISTS arg_RANKS)
    add_test(NAME ${name}.np${ranks}
             COMMAND ${MPIEXEC_EXECUTABLE} --oversubscribe ${MPIEXEC_NUMPROC_FLAG} ${ranks} $<TARGET_FILE:${executable}>)
    set_tests_properties(${name}.np${ranks} PROPERTIES PROCESSORS ${ranks} TIMEOUT ${arg_TIMEOUT} LABELS mpi
      ENVIRONMENT "OMP_WAIT_POLICY=passive;OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;${environment}")
  endforeach()
endfunction()

# pikv_add_mpi_test(name source... LIBS lib... RANKS 1 2 3 4): one executable, one CTest entry per rank count. The source has its own main.
function(pikv_add_mpi_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "LIBS;RANKS" ${ARGN})
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE pikv_flags ${arg_LIBS} GTest::gtest GTest::gmock)
  pikv_add_mpi_runs(${name} ${name} "" TIMEOUT "${arg_TIMEOUT}" RANKS ${arg_RANKS})
endfunction()
