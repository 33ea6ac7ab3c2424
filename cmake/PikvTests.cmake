find_package(GTest REQUIRED)
include(GoogleTest)

# pikv_add_test(name source... LIBS lib...): one executable, one CTest entry, for tests without MPI.
function(pikv_add_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "LIBS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  set(environment OMP_WAIT_POLICY=passive)
  if(PIKV_SANITIZE)   # some 10 times slower: the same tests on fewer cases, and more time
    math(EXPR arg_TIMEOUT "5 * ${arg_TIMEOUT}")
    list(APPEND environment PIKV_SMALL_TESTS=1 PIKV_SOAK_FAULTS=5000 "GTEST_FILTER=-*_16_by_*")
  endif()
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE pikv_flags ${arg_LIBS} GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS unit ENVIRONMENT "${environment}")
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
