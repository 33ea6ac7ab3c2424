# What a run leaves behind: trace, report, summary, logits, progress; and agreement between ranks, which the trace needs too.
add_library(pikv_trace
  ${CMAKE_CURRENT_LIST_DIR}/agree.cpp
  ${CMAKE_CURRENT_LIST_DIR}/apart.cpp
  ${CMAKE_CURRENT_LIST_DIR}/attributes.cpp
  ${CMAKE_CURRENT_LIST_DIR}/coordinator/eplb.cpp
  ${CMAKE_CURRENT_LIST_DIR}/coordinator/planner.cpp
  ${CMAKE_CURRENT_LIST_DIR}/disk_room.cpp
  ${CMAKE_CURRENT_LIST_DIR}/finish.cpp
  ${CMAKE_CURRENT_LIST_DIR}/hdf5/array.cpp
  ${CMAKE_CURRENT_LIST_DIR}/hdf5/attribute.cpp
  ${CMAKE_CURRENT_LIST_DIR}/hdf5/failure.cpp
  ${CMAKE_CURRENT_LIST_DIR}/hdf5/input.cpp
  ${CMAKE_CURRENT_LIST_DIR}/hdf5/row_type.cpp
  ${CMAKE_CURRENT_LIST_DIR}/hdf5/table.cpp
  ${CMAKE_CURRENT_LIST_DIR}/latency.cpp
  ${CMAKE_CURRENT_LIST_DIR}/logits_file.cpp
  ${CMAKE_CURRENT_LIST_DIR}/output_file.cpp
  ${CMAKE_CURRENT_LIST_DIR}/progress.cpp
  ${CMAKE_CURRENT_LIST_DIR}/report.cpp
  ${CMAKE_CURRENT_LIST_DIR}/statistics.cpp
  ${CMAKE_CURRENT_LIST_DIR}/summary.cpp
  ${CMAKE_CURRENT_LIST_DIR}/trace.cpp
  ${CMAKE_CURRENT_LIST_DIR}/trace_rows.cpp)
target_link_libraries(pikv_trace PUBLIC pikv_flags pikv_comm pikv_hdf5 pikv_cache nlohmann_json::nlohmann_json fmt::fmt)
