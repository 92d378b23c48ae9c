# SPDX-License-Identifier: Apache-2.0
# Files that travel inside the program, so that an installed one needs none beside it.
#
#   postern_embed(OUT_SOURCE SYMBOL FILES…)
# makes a C source that defines `const PstEmbedded SYMBOL[]` (store/embedded.h), in the order given,
# ended by a row without name. Rows are named by the last part of their path.
if(CMAKE_SCRIPT_MODE_FILE)
    set(rows "")
    set(data "")
    set(i 0)
    string(REPLACE "|" ";" FILES "${FILES}")
    foreach(file IN LISTS FILES)
        file(READ ${file} hex HEX)
        string(LENGTH "${hex}" digits)
        math(EXPR length "${digits} / 2")
        string(REGEX REPLACE "(................................)" "\\1\n   " hex "${hex}")
        string(REGEX REPLACE "([0-9a-f][0-9a-f])" " 0x\\1," hex "${hex}")
        get_filename_component(name ${file} NAME)
        string(APPEND data "static const unsigned char file_${i}[] = {${hex} 0};\n")
        string(APPEND rows "    {\"${name}\", (const char *)file_${i}, ${length}},\n")
        math(EXPR i "${i} + 1")
    endforeach()
    file(WRITE ${OUTPUT} "/* SPDX-License-Identifier: Apache-2.0 */\n"
        "/* Made by cmake/Embed.cmake. */\n"
        "#include \"embedded.h\"\n\n${data}\n"
        "const PstEmbedded ${SYMBOL}[] = {\n${rows}    {0},\n};\n")
    return()
endif()

set(POSTERN_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
function(postern_embed out_source symbol)
    set(output ${CMAKE_CURRENT_BINARY_DIR}/${symbol}.c)
    # The list travels in one word, with a separator that neither CMake nor a shell takes apart.
    string(REPLACE ";" "|" files "${ARGN}")
    add_custom_command(OUTPUT ${output}
        COMMAND ${CMAKE_COMMAND} "-DFILES=${files}" -DSYMBOL=${symbol} -DOUTPUT=${output}
                -P ${POSTERN_EMBED_SCRIPT}
        DEPENDS ${ARGN} ${POSTERN_EMBED_SCRIPT}
        VERBATIM)
    set(${out_source} ${output} PARENT_SCOPE)
endfunction()
