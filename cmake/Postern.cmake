# SPDX-License-Identifier: Apache-2.0
# How everything here is built: one library per folder, programs that join them, tests beside them.
include(GNUInstallDirs)
find_package(PkgConfig REQUIRED)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

add_compile_definitions(_GNU_SOURCE G_LOG_DOMAIN="postern" PST_VERSION="${PROJECT_VERSION}")
# Verdicts are bit-identical on every replay: no fused multiply-add behind our back.
add_compile_options(-ffp-contract=off -fno-strict-aliasing -fstack-protector-strong
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef
    -Wwrite-strings -Wcast-qual -Wformat=2 -Wvla -Wswitch-enum -Wno-missing-field-initializers
    -Wno-unused-parameter)
if(POSTERN_SANITIZE)
    add_compile_options(-fsanitize=${POSTERN_SANITIZE} -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${POSTERN_SANITIZE})
    if(POSTERN_SANITIZE MATCHES undefined)
        add_compile_options(-fno-sanitize-recover=undefined)
    endif()
endif()

# postern_library(NAME [FOLDERS . sub …] SOURCES a.c … LIBS targets it offers …
#                 PRIVATE targets it hides …)
# The library's own folders (default: the one it stands in) are its include path; only what links
# it sees its headers.
function(postern_library name)
    cmake_parse_arguments(ARG "" "" "FOLDERS;SOURCES;LIBS;PRIVATE" ${ARGN})
    if(NOT ARG_FOLDERS)
        set(ARG_FOLDERS .)
    endif()
    add_library(${name} STATIC ${ARG_SOURCES})
    list(TRANSFORM ARG_FOLDERS PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
    target_include_directories(${name} PUBLIC ${ARG_FOLDERS})
    target_link_libraries(${name} PUBLIC postern_include ${ARG_LIBS} PRIVATE ${ARG_PRIVATE})
endfunction()

# postern_program(NAME SOURCES main.c … LIBS …)
function(postern_program name)
    cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE ${ARG_LIBS})
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# All programs of one kind of test: a sanitizer's build needs no others.
foreach(kind unit threads fuzz)
    add_custom_target(tests_${kind})
endforeach()

# postern_unit_test(NOUN LIBS …): tests/unit/test_NOUN.c with Criterion, label "unit".
# Criterion exits 0 on a pure leak: the sanitizer's words in its output fail the test.
function(postern_unit_test noun)
    cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
    if(NOT POSTERN_TESTS)
        return()
    endif()
    pkg_check_modules(CRITERION REQUIRED IMPORTED_TARGET GLOBAL criterion)
    add_executable(test_${noun} ${PROJECT_SOURCE_DIR}/tests/unit/test_${noun}.c)
    target_include_directories(test_${noun} PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit)
    target_compile_definitions(test_${noun} PRIVATE TESTS_DIR="${PROJECT_SOURCE_DIR}/tests"
        CORPUS_DIR="${PROJECT_SOURCE_DIR}/../shared/corpus")
    target_link_libraries(test_${noun} PRIVATE ${ARG_LIBS} PkgConfig::CRITERION)
    add_dependencies(tests_unit test_${noun})
    add_test(NAME unit.${noun} COMMAND test_${noun} --jobs 1)
    set_tests_properties(unit.${noun} PROPERTIES LABELS unit TIMEOUT 300 FAIL_REGULAR_EXPRESSION
        "ERROR: (Address|Leak|Undefined|Memory)Sanitizer;runtime error:")
endfunction()

# postern_thread_test(NOUN LIBS …): tests/threads/NOUN.c, a plain program, label "threads".
function(postern_thread_test noun)
    cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
    if(NOT POSTERN_TESTS)
        return()
    endif()
    add_executable(threads_${noun} ${PROJECT_SOURCE_DIR}/tests/threads/${noun}.c)
    target_include_directories(threads_${noun} PRIVATE ${PROJECT_SOURCE_DIR}/tests/unit)
    target_link_libraries(threads_${noun} PRIVATE ${ARG_LIBS})
    add_dependencies(tests_threads threads_${noun})
    add_test(NAME threads.${noun} COMMAND threads_${noun})
    set(suppressions ${PROJECT_SOURCE_DIR}/tests/threads/tsan.supp)
    set_tests_properties(threads.${noun} PROPERTIES LABELS threads TIMEOUT 300
        ENVIRONMENT "G_SLICE=always-malloc;TSAN_OPTIONS=suppressions=${suppressions}")
endfunction()

# postern_fuzz_target(NOUN LIBS …): tests/fuzz/fuzz_NOUN.c defines LLVMFuzzerTestOneInput.
# With POSTERN_FUZZ a libFuzzer program; else a replayer of tests/fuzz/corpus/NOUN, label "fuzz".
function(postern_fuzz_target noun)
    cmake_parse_arguments(ARG "" "" "LIBS" ${ARGN})
    if(NOT POSTERN_TESTS)
        return()
    endif()
    add_executable(fuzz_${noun} ${PROJECT_SOURCE_DIR}/tests/fuzz/fuzz_${noun}.c)
    target_link_libraries(fuzz_${noun} PRIVATE ${ARG_LIBS})
    add_dependencies(tests_fuzz fuzz_${noun})
    if(POSTERN_FUZZ)
        target_link_options(fuzz_${noun} PRIVATE -fsanitize=fuzzer)
    else()
        target_sources(fuzz_${noun} PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz/replay_main.c)
        add_test(NAME fuzz.${noun}
            COMMAND fuzz_${noun} ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${noun})
        set_tests_properties(fuzz.${noun} PROPERTIES LABELS fuzz TIMEOUT 300)
    endif()
endfunction()
