# Run at every build: writes HEADER with the commit of SOURCE, and touches it only when that changed.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git -c safe.directory=* describe --always --dirty --abbrev=10 --exclude=* WORKING_DIRECTORY ${SOURCE}
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${HEADER} CONTENT "#pragma once\n\n#define PIKV_COMMIT \"@commit@\"\n" @ONLY)
