#!/usr/bin/env python3
"""Writes test/fixtures/chat-templates.json: what Python makes of chat templates, as transformers runs them.

Needs transformers 5.24.0 and jinja2 3.1.6 (pip install transformers==5.24.0 jinja2==3.1.6), nothing of a model:

    python3 scripts/make-template-fixtures.py

The templates are written for these tests in the manner of published ones (ChatML, Qwen, Llama, SmolLM, Gemma, Mistral, Phi,
Granite, OLMo, LFM2, DeepSeek), and in pieces, one for each thing that templates use. Each case has the template, its
variables, and the text that Python gives, or that it fails. scripts/template-pieces.jinja has more pieces, one a line, many of
them drawn at random.
"""

import json
import pathlib

import jinja2
import transformers
from jinja2 import meta
from transformers.utils.chat_template_utils import _compile_jinja_template

USER = {"role": "user", "content": "  Hi 👋, what's 2 < 3 & \"x\"?\n"}
THOUGHT = {"role": "assistant", "content": "<think>\nFirst.\n\nThen.\n</think>\n\n    x = [1]\n"}
REASONED = {"role": "assistant", "content": "    y = 2", "reasoning_content": "\nSo.\n"}
SYSTEM = {"role": "system", "content": "Be kind.\n"}
PLAIN = [SYSTEM, USER, {"role": "assistant", "content": " Fine. "}, {"role": "user", "content": "Go on"}]
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {
            "type": "function",
            "id": "call12345",
            "function": {"name": "weather", "arguments": {"city": "Zürich", "days": 3, "exact": True, "unit": None}},
        },
        {"type": "function", "id": "call67890", "function": {"name": "now", "arguments": {}}},
    ],
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather, \"now\" & 'later'",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Where"},
                    "days": {"type": "integer", "enum": [1, 2, 3]},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["city"],
            },
        },
    },
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}},
]
TOOL_TURNS = [
    SYSTEM,
    USER,
    CALL,
    {"role": "tool", "name": "weather", "tool_call_id": "call12345", "content": '{"t": 21.5}'},
    {"role": "tool", "name": "now", "tool_call_id": "call67890", "content": "noon"},
    {"role": "assistant", "content": "Warm."},
    {"role": "user", "content": "Thanks"},
]

QWEN3 = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- "# Tools\n\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>\n\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\n' + content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\n<think>\n' + reasoning_content.strip('\n') + '\n</think>\n\n' + content.lstrip('\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' }}
        {{- content }}
        {{- '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}
"""

LLAMA3 = r"""{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{#- This block extracts the system message. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\n\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- if tools is not none and messages | length != 0 %}
    {%- set first_user_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
    {{- '<|start_header_id|>user<|end_header_id|>\n\n' -}}
    {{- 'Respond in the format {"name": function name, "parameters": dictionary}. Do not use variables.\n\n' }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\n\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- "[" }}
        {%- endif %}
        {%- for call in message.tool_calls %}
            {%- set tool_call = call.function %}
            {{- '{"name": "' + tool_call.name + '", "parameters": ' }}{{ tool_call.arguments | tojson }}{{ "}" -}}
            {{- ", " if not loop.last }}
        {%- endfor %}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" }}
        {%- if message.content is mapping or (message.content is iterable and message.content is not string) %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
"""

SMOLLM3 = r"""{# defaults #}
{%- if enable_thinking is not defined -%}{%- set enable_thinking = true -%}{%- endif -%}
{%- if enable_thinking -%}{%- set reasoning_mode = "/think" -%}{%- else -%}{%- set reasoning_mode = "/no_think" -%}{%- endif -%}
{{- "<|im_start|>system\n" -}}
{%- if messages[0].role == "system" -%}
  {%- set system_message = messages[0].content -%}
  {%- if "/no_think" in system_message -%}{%- set reasoning_mode = "/no_think" -%}{%- endif -%}
  {%- set custom_instructions = system_message.replace("/no_think", "").replace("/think", "").rstrip() -%}
{%- endif -%}
{{- "Today Date: " -}}{{- today if today else "never" -}}{{- "\nReasoning Mode: " + reasoning_mode + "\n\n" -}}
{%- if custom_instructions -%}{{- custom_instructions + "\n\n" -}}{%- else -%}{{- "You are a helpful AI assistant.\n\n" -}}{%- endif -%}
{%- if xml_tools or python_tools or tools -%}
  {{- "### Tools\n\n" -}}
  {%- set ns = namespace(xml_tool_string="<tools>\n") -%}
  {%- for tool in tools[:] -%}{%- set ns.xml_tool_string = ns.xml_tool_string ~ (tool | string) ~ "\n" -%}{%- endfor -%}
  {{- ns.xml_tool_string + "</tools>" + "\n\n" -}}
{%- endif -%}
{{- "<|im_end|>\n" -}}
{%- for message in messages -%}
  {%- set content = message.content if message.content is string else "" -%}
  {%- if message.role == "user" -%}
    {{ "<|im_start|>" + message.role + "\n"  + content + "<|im_end|>\n" }}
  {%- elif message.role == "assistant" -%}
    {% generation %}
    {%- if reasoning_mode == "/think" -%}
      {{ "<|im_start|>assistant\n" + content.lstrip("\n") + "<|im_end|>\n" }}
    {%- else -%}
      {{ "<|im_start|>assistant\n" + "<think>\n\n</think>\n" + content.lstrip("\n") + "<|im_end|>\n" }}
    {%- endif -%}
    {% endgeneration %}
  {%- elif message.role == "tool" -%}
    {{ "<|im_start|>" + "user\n"  + content + "<|im_end|>\n" }}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ "<|im_start|>assistant\n" }}{%- endif -%}
"""

GEMMA = r"""{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model
'}}
{%- endif -%}
"""

MISTRAL = r"""{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
            {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- else %}
                {{- "]" + eos_token }}
            {%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
"""

PHI = "{% for message in messages %}{% if message['role'] == 'system' and 'tools' in message and message['tools'] is not none %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|tool|>' + message['tools'] + '<|/tool|>' + '<|end|>' }}{% else %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}"

GRANITE = r"""{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set system_message = "Knowledge Cutoff Date: April 2024.\nToday's Date: " + "May 01, 2025" + "." %}
    {%- if tools and documents %}
        {%- set system_message = system_message + " With both." %}
    {%- elif tools %}
        {%- set system_message = system_message + " With tools." %}
    {%- endif %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + system_message + '<|end_of_text|>
' }}
{%- if tools %}
    {{- '<|start_of_role|>available_tools<|end_of_role|>' }}
    {{- tools | tojson(indent=4) }}
    {{- '<|end_of_text|>
' }}
{%- endif %}
{%- if documents %}
    {%- for document in documents %}
        {{- '<|start_of_role|>document {"document_id": "' + document['doc_id'] | string + '"}<|end_of_role|>
' }}
        {{- document['text'] }}
        {{- '<|end_of_text|>
' }}
    {%- endfor %}
{%- endif %}
{%- for message in loop_messages %}
    {{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + '<|end_of_text|>
' }}
    {%- if loop.last and add_generation_prompt %}
        {{- '<|start_of_role|>assistant' }}
        {%- if controls %}
            {{- ' ' + controls | tojson()}}
        {%- endif %}
        {{- '<|end_of_role|>' }}
    {%- endif %}
{%- endfor %}"""

OLMO = "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'assistant' %}{% if not loop.last %}{{ '<|assistant|>\n'  + message['content'] + eos_token + '\n' }}{% else %}{{ '<|assistant|>\n'  + message['content'] + eos_token }}{% endif %}{% endif %}{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"

LFM2 = r"""{{- bos_token -}}
{%- set system_prompt = "" -%}
{%- set ns = namespace(system_prompt="") -%}
{%- if messages[0]["role"] == "system" -%}
	{%- set ns.system_prompt = messages[0]["content"] -%}
	{%- set messages = messages[1:] -%}
{%- endif -%}
{%- if tools -%}
	{%- set ns.system_prompt = ns.system_prompt + ("\n" if ns.system_prompt else "") + "List of tools: <|tool_list_start|>[" -%}
	{%- for tool in tools -%}
		{%- if tool is not string -%}
			{%- set tool = tool | tojson -%}
		{%- endif -%}
		{%- set ns.system_prompt = ns.system_prompt + tool -%}
		{%- if not loop.last -%}
			{%- set ns.system_prompt = ns.system_prompt + ", " -%}
		{%- endif -%}
	{%- endfor -%}
	{%- set ns.system_prompt = ns.system_prompt + "]<|tool_list_end|>" -%}
{%- endif -%}
{%- if ns.system_prompt -%}
	{{- "<|im_start|>system\n" + ns.system_prompt + "<|im_end|>\n" -}}
{%- endif -%}
{%- for message in messages -%}
	{{- "<|im_start|>" + message["role"] + "\n" -}}
	{%- set content = message["content"] -%}
	{%- if content is not string -%}
		{%- set content = content | tojson -%}
	{%- endif -%}
	{%- if message["role"] == "tool" -%}
		{%- set content = "<|tool_response_start|>" + content + "<|tool_response_end|>" -%}
	{%- endif -%}
	{{- content + "<|im_end|>\n" -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
	{{- "<|im_start|>assistant\n" -}}
{%- endif -%}
"""

DEEPSEEK = r"""{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<｜User｜>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['tool_calls'] %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}{{'<｜Assistant｜><｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + tool['function']['name'] + '\n' + '```json' + '\n' + tool['function']['arguments']|tojson + '\n' + '```' + '<｜tool▁call▁end｜>'}}{%- set ns.is_first = true -%}{%- else %}{{'\n' + '<｜tool▁call▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + tool['function']['name'] + '\n' + '```json' + '\n' + tool['function']['arguments']|tojson + '\n' + '```' + '<｜tool▁call▁end｜>'}}{{'<｜tool▁calls▁end｜><｜end▁of▁sentence｜>'}}{%- endif %}{%- endfor %}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] %}{%- if ns.is_tool %}{{'<｜tool▁outputs▁end｜>' + message['content'] + '<｜end▁of▁sentence｜>'}}{%- set ns.is_tool = false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{%- if ns.is_output_first %}{{'<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>'}}{%- set ns.is_output_first = false %}{%- else %}{{'\n<｜tool▁output▁begin｜>' + message['content'] + '<｜tool▁output▁end｜>'}}{%- endif %}{%- endif %}{%- endfor -%}{% if ns.is_tool %}{{'<｜tool▁outputs▁end｜>'}}{% endif %}{% if add_generation_prompt and not ns.is_tool %}{{'<｜Assistant｜>'}}{% endif %}"""

XML_TOOLS = r"""{%- macro render_extra_keys(json_dict, handled_keys) -%}
    {%- if json_dict is mapping %}
        {%- for json_key in json_dict if json_key not in handled_keys %}
            {%- if json_dict[json_key] is mapping or (json_dict[json_key] is sequence and json_dict[json_key] is not string) %}
                {{- '\n<' ~ json_key ~ '>' ~ (json_dict[json_key] | tojson | safe) ~ '</' ~ json_key ~ '>' }}
            {%- else %}
                {{-'\n<' ~ json_key ~ '>' ~ (json_dict[json_key] | string) ~ '</' ~ json_key ~ '>' }}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
{%- endmacro -%}
{%- for tool in tools %}
    {%- if tool.function is defined %}{%- set tool = tool.function %}{%- endif %}
    {{- "\n<function>\n<name>" ~ tool.name ~ "</name>" }}
    {%- if tool.description is defined %}{{- '\n<description>' ~ (tool.description | trim) ~ '</description>' }}{%- endif %}
    {{- '\n<parameters>' }}
    {%- if tool.parameters is defined and tool.parameters is mapping and tool.parameters.properties is defined and tool.parameters.properties is mapping %}
        {%- for param_name, param_fields in tool.parameters.properties|items %}
            {{- '\n<parameter>' }}{{- '\n<name>' ~ param_name ~ '</name>' }}
            {%- if param_fields.type is defined %}{{- '\n<type>' ~ (param_fields.type | string) ~ '</type>' }}{%- endif %}
            {%- set handled_keys = ['name', 'type', 'description'] %}
            {{- render_extra_keys(param_fields, handled_keys) }}
            {{- '\n</parameter>' }}
        {%- endfor %}
    {%- endif %}
    {{- render_extra_keys(tool.parameters, ['type', 'properties']) }}
    {{- '\n</parameters>\n</function>' }}
{%- endfor %}
{%- set last = namespace(user=-1) %}
{%- for m in messages %}{%- if m.role == 'user' %}{%- set last.user = loop.index0 %}{%- endif %}{%- endfor %}
{%- for m in messages[last.user:] %}{{ '\n' ~ loop.index ~ '/' ~ loop.length ~ ' ' ~ m.role ~ ': ' ~ m.content | default('none', true) }}{%- endfor %}
"""

# As the later ones of DeepSeek, which open the thought in the prompt.
DEEPSEEK_THINKING = DEEPSEEK.replace("{{'<｜Assistant｜>'}}{% endif %}", "{{'<｜Assistant｜><think>\\n'}}{% endif %}")
# As Granite 3.3.
GRANITE_THINKING = GRANITE.replace(
    "    {%- elif tools %}",
    """    {%- elif thinking %}
        {%- set system_message = system_message + " Write your thoughts between <think></think> and the answer between <response></response>." %}
    {%- elif tools %}""",
)

FAMILIES = {
    "qwen3": QWEN3,
    "llama3": LLAMA3,
    "smollm3": SMOLLM3,
    "gemma": GEMMA,
    "mistral": MISTRAL,
    "phi": PHI,
    "granite": GRANITE,
    "olmo": OLMO,
    "lfm2": LFM2,
    "deepseek": DEEPSEEK,
    "xml tools": XML_TOOLS,
    "deepseek thinking": DEEPSEEK_THINKING,
    "granite thinking": GRANITE_THINKING,
}
CONVERSATIONS = {
    "plain": {"messages": PLAIN},
    "one turn": {"messages": [USER]},
    "thought": {"messages": [USER, THOUGHT, {"role": "user", "content": "And?"}]},
    "thought last": {"messages": [USER, THOUGHT]},
    "no prompt": {"messages": PLAIN, "add_generation_prompt": False},
    "not thinking": {"messages": PLAIN, "enable_thinking": False},
    "tools": {"messages": TOOL_TURNS, "tools": TOOLS},
    "calls": {"messages": TOOL_TURNS},
    "odd roles": {"messages": [USER, USER]},
    "variables": {
        "messages": [USER],
        "enable_thinking": True,
        "thinking": True,
        "date_string": "1 May 2026",
        "today": "1 May",
        "documents": [{"doc_id": 7, "text": "Facts."}],
        "controls": {"length": "short", "n": [1, 2.5, None]},
        "xml_tools": [],
    },
    "reasoning": {"messages": [USER, REASONED, {"role": "user", "content": "And?"}, {**REASONED, "content": "Now."}]},
}
STANDARD = {"bos_token": "<s>", "eos_token": "</s>", "tools": None, "add_generation_prompt": True}

# Small templates, one thing each: (template, variables).
V = {"s": "\n\n  a-b-c  \n", "e": "a👋b", "n": None, "l": [3, 1, 2], "d": {"b": 1, "a": [1, 2.5, None, True], "items": "x"}, "ms": PLAIN, "m": [None, 0, "", "B", "a", None], "f": 2.5, "z": 0, "t": True, "w": "Hello wOrld foo"}
PIECES = [
    *[f"[{{{{ s.{m}({a}) }}}}]" for m in ("strip", "lstrip", "rstrip") for a in ("", "'\\n'", "'\\n '", "' a\\n'", "none", "'xyz'")],
    "[{{ s|trim }}][{{ s|trim('\\n') }}][{{ s|trim(chars='\\n a') }}]",
    "{{ s.split() }}{{ s.split('-') }}{{ s.split('-', 1) }}{{ s.split('-', maxsplit=1) }}{{ 'a  b'.split(' ') }}{{ ''.split() }}{{ ''.split(',') }}",
    "{{ s.rsplit('-', 1) }}{{ ' a b c '.rsplit(none, 1) }}{{ ' a b c '.split(none, 1) }}{{ 'a\\nb\\r\\nc'.splitlines() }}{{ 'a\\nb\\n'.splitlines(true) }}",
    "{{ 'aXbXc'.replace('X', '-') }}{{ 'aXbXc'.replace('X', '-', 1) }}{{ 'ab'.replace('', '.') }}{{ 'aXbXc'|replace('X', '-', 1) }}{{ 'a$1'.replace('a', '$&') }}",
    "{{ 'abc'.startswith('ab') }}{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.endswith('bc', 1) }}{{ 'abc'.startswith('b', 1) }}",
    "{{ 'abcabc'.find('c') }}{{ 'abcabc'.rfind('c') }}{{ 'abc'.find('x') }}{{ e.find('b') }}{{ 'abcabc'.index('b', 2) }}{{ 'abcabc'.count('bc') }}",
    "{{ 'aß é'.upper() }}{{ 'ABC'.lower() }}{{ \"it's a dog\".title() }}{{ \"it's a-dog\"|title }}{{ 'hELLO wORLD'.capitalize() }}{{ 'hELLO'|capitalize }}{{ 'aB'.swapcase() }}",
    "{{ '12'.isdigit() }}{{ 'a1'.isalnum() }}{{ 'a1'.isalpha() }}{{ ' '.isspace() }}{{ 'AB'.isupper() }}{{ 'ab'.islower() }}{{ ''.isdigit() }}",
    "{{ '7'.zfill(3) }}{{ '-7'.zfill(3) }}{{ 'a'.center(4, '*') }}{{ 'a'.ljust(3) }}|{{ 'a'.rjust(3, '.') }}",
    "{{ 'k=v=w'.partition('=') }}{{ 'k=v=w'.rpartition('=') }}{{ 'kv'.partition('=') }}{{ 'prefix-x'.removeprefix('prefix-') }}{{ 'x.py'.removesuffix('.py') }}",
    "{{ ', '.join(['a', 'b']) }}{{ '-'.join('abc') }}{{ ['a', 1, none]|join('|') }}{{ ms|map(attribute='role')|join(', ') }}{{ ms|join(',', attribute='role') }}",
    "{{ '{} {1} {name}'.format('a', 'b', name='c') if false }}{{ '{0} {1} {name:>4}'.format('a', 2, name='c') }}{{ '{:.2f}|{:05d}|{:,}'.format(1.5, 42, 1234567) }}",
    "{{ '%s is %d, %.2f, %5s|%-5s|%05d|%x%%' % ('a', 2, 1.005, 'b', 'c', 7, 255) }}{{ '%s' % 'x' }}{{ '%s-%s'|format('a', 1) }}{{ '%(a)s' % {'a': 1} }}",
    "{{ e|length }}{{ e[1] }}{{ e[::-1] }}{{ e[1:] }}{{ e[-1] }}{{ e|reverse }}{{ e|list }}",
    "{{ l[0] }}{{ l[-1] }}{{ l[::-1] }}{{ l[1:] }}{{ l[:-1] }}{{ l[::2] }}{{ l[5:] }}{{ l[-2:] }}{{ l[:0] }}{{ l[2:0:-1] }}{{ l[9] }}{{ l.0 }}",
    "{{ l|sort }}{{ l|sort(reverse=true) }}{{ l|reverse|list }}{{ l|first }}{{ l|last }}{{ l|max }}{{ l|min }}{{ l|sum }}{{ []|first }}{{ l|unique|list }}",
    "{{ ['b', 'A', 'c']|sort }}{{ ['b', 'A', 'c']|sort(case_sensitive=true) }}{{ ms|sort(attribute='content')|map(attribute='role')|list }}",
    "{{ ms|selectattr('role', 'equalto', 'user')|list|length }}{{ ms|selectattr('role', '==', 'user')|map(attribute='content')|list }}{{ ms|rejectattr('role', 'in', ['user', 'system'])|map(attribute='content')|first }}",
    "{{ ms|selectattr('tool_calls')|list }}{{ ms|selectattr('tool_calls', 'defined')|list }}{{ ms|rejectattr('name', 'defined')|list|length }}",
    "{{ [1, 2, 3, 4]|select('odd')|list }}{{ [1, 2, 3, 4]|reject('divisibleby', 2)|list }}{{ ['', 'a', none]|select|list }}{{ [1, none]|reject('none')|list }}",
    "{{ [' a', 'b ']|map('trim')|list }}{{ ['a', 'b']|map('upper')|join }}{{ [[1, 2], [3]]|map('length')|list }}{{ ['a']|map('replace', 'a', 'b')|list }}{{ [{'a': {'b': 1}}, {}]|map(attribute='a.b', default='-')|list }}",
    "{{ ms|groupby('role')|map('first')|list }}{% for role, turns in ms|groupby('role') %}{{ role }}:{{ turns|length }} {% endfor %}",
    "{{ range(7)|batch(3)|list }}{{ range(5)|batch(3, 'x')|list }}{{ range(7)|slice(3)|list }}{{ range(2, 8, 3)|list }}{{ range(3, 0, -1)|list }}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }},{% endfor %}{{ d.keys()|list }}{{ d.values()|list }}{{ d|items|list }}{{ d|dictsort }}{{ d|length }}",
    "{{ d['items'] }}{{ d.get('b') }}{{ d.get('z') }}{{ d.get('z', 'q') }}{{ d.get('z') is none }}{{ d['z'] is defined }}{{ 'b' in d }}{{ d.z is undefined }}{{ d['b'] }}",
    "{{ d }}{{ l }}{{ [none, true, 1.0, 1e20, 1e-7, 'it\\'s', \"q\\\"\", 'a\\nb'] }}{{ (1,) }}{{ () }}{{ {} }}{{ n }}{{ true }}{{ 1.5 }}{{ 3 / 2 }}{{ 4 / 2 }}",
    "{{ d|tojson }}{{ l|tojson }}{{ 'é\"<&>\\u2028'|tojson }}{{ 'é👋'|tojson(ensure_ascii=true) }}{{ n|tojson }}{{ 1.0|tojson }}{{ '\\x7f\\x01'|tojson }}",
    "{{ d|tojson(indent=2) }}{{ {}|tojson(indent=2) }}{{ [[]]|tojson(indent=4) }}{{ d|tojson(separators=(',', ':')) }}{{ d|tojson(indent=1, separators=(',', ': ')) }}{{ d|tojson(sort_keys=true) }}",
    "{{ x|default('a') }}{{ x|default }}{{ ''|default('b') }}{{ ''|default('b', true) }}{{ n|default('c') }}{{ n|default('c', boolean=true) }}{{ x|d('e') }}{{ d.z|default('f') }}",
    "{{ '3'|int + 1 }}{{ 'x'|int }}{{ 'x'|int(7) }}{{ '3.7'|int }}{{ 3.7|int }}{{ -3.7|int }}{{ '2.5'|float }}{{ 'x'|float }}{{ true|int }}{{ 5|string + '!' }}{{ '0x1f'|int(0, 16) }}",
    "{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 % 3 }}{{ -7 % 3 }}{{ 2 ** 10 }}{{ 7.5 // 2 }}{{ -1|abs }}{{ 1.25|round(1) }}{{ 2.5|round }}{{ 2.7|round|int }}{{ 2.1|round(0, 'ceil') }}{{ 3 * 'ab' }}{{ [0] * 3 }}{{ 1 + 2.0 }}{{ 10000000000000000000 + 1 }}",
    "{{ 1 == 1.0 }}{{ [1, {'a': 2}] == [1, {'a': 2}] }}{{ 'a' == 1 }}{{ n == none }}{{ (1, 2) == [1, 2] }}{{ 'a' < 'b' }}{{ [1, 2] < [1, 3] }}{{ ms[0] == ms[0] }}{{ ms[0] in ms }}{{ 1 in [1.0] }}{{ true == 1 }}",
    "{{ 'b' in 'abc' }}{{ 'x' not in 'abc' }}{{ 'a' in x }}{{ not x }}{{ x or 'y' }}{{ n and 1 }}{{ '' or 0 or [] or 'z' }}{{ 1 if x else 2 }}{{ 1 if x }}{{ 'a' ~ 1 ~ none ~ true ~ x }}",
    "{{ 4 is even }}{{ 3 is odd }}{{ 9 is divisibleby 3 }}{{ 9 is divisibleby(4) }}{{ 1 is number }}{{ 1 is integer }}{{ 1.0 is float }}{{ true is boolean }}{{ true is number }}{{ 'a' is string }}{{ d is mapping }}{{ l is sequence }}{{ l is iterable }}{{ 1 is iterable }}",
    "{{ n is none }}{{ n is not none }}{{ x is defined }}{{ x is not defined }}{{ true is true }}{{ 1 is true }}{{ 'ab' is lower }}{{ 'AB' is upper }}{{ 1 is in [1, 2] }}{{ 3 is not in [1, 2] }}{{ 1 is sameas 1 }}{{ 2 is eq 2 }}{{ 2 is gt 1 }}{{ 2 is le(1) }}{{ range is callable }}",
    "{{ 5 is not odd and 2 is even or false }}{{ not 5 is even }}{{ (x is defined) and x }}{{ 'role' is in ms[0] }}{{ 'a' is ne 'b' if true else 0 }}",
    "{% set ns = namespace(found=false, n=0) %}{% for i in l %}{% if i == 1 %}{% set ns.found = true %}{% endif %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.found }}{{ ns.n }}",
    "{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }},{% endfor %}{{ x }}{% if true %}{% set x = 9 %}{% endif %}{{ x }}",
    "{% for i in l %}{% if loop.first %}{% set y = i %}{% endif %}{{ y }};{% endfor %}",
    "{% for i in l %}a{{ i }}{% if i == 1 %}b{% continue %}{% endif %}c{% endfor %}",
    "{% for i in l %}a{{ i }}{% if i == 1 %}b{% break %}{% endif %}c{% else %}none{% endfor %}",
    "{% for i in l %}{% continue %}{% else %}none{% endfor %}{% for i in [] %}{% else %}empty{% endfor %}{% for i in x %}{% else %}undefined{% endfor %}{% for c in 'ab' %}{{ c }}.{% endfor %}",
    "{% for i in l if i > 1 %}{{ loop.index }}/{{ loop.length }}:{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}{% for i in l %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('x', 'y') }}{{ loop.changed(i > 1) }};{% endfor %}",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }} {% endfor %}{% for i in l %}{% for j in l %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% macro m(a, b='x', c=none) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}{{ m(1, c=3) }}{{ m(b=1, a=2) }}{{ m() }}",
    "{% macro m(a) %}[{{ a }}{{ varargs }}{{ kwargs }}]{% endmacro %}{{ m(1, 2, z=3) }}{% macro w() %}<{{ caller() }}>{% endmacro %}{% call w() %}in{% endcall %}{% macro r(n) %}{{ n }}{% if n %}{{ r(n - 1) }}{% endif %}{% endmacro %}{{ r(3) }}",
    "{% macro m() %}{{ i }}{% endmacro %}{% for i in l %}{{ m() }}{% endfor %}{% set q = 5 %}{% macro g() %}{{ q }}{% endmacro %}{{ g() }}{{ g()|length }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}",
    "{% set t %}  a {{ 1 }}  {% endset %}[{{ t }}][{{ t|trim }}]{% set a, b = 1, 'z' %}{{ a }}{{ b }}{% filter upper %}abc{% endfilter %}{% set o = {'k': l, 'm': {'n': 1}} %}{{ o.k[0] }}{{ o['m'].n }}",
    "{{ 'a' 'b' }}{{ 'tab\\tq\\'u\\\\d\\d\\x41\\u00e9' }}{{ \"\\/\" }}{{ 'a\nb' }}{{ 1_000 }}{{ 0x1F }}{{ 1e3 }}{{ -1 }}{{ +1 }}{{ 2 - -1 }}{{ -l[0] }}",
    "{{ dict(a=1, b=2) }}",
    "{% set j = joiner(', ') %}{{ j() }}a{{ j() }}b{{ j() }}c{% set c = cycler('x', 'y') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ dict(a=1) }}{{ dict(d).b }}",
    "{{ 'a\\nb\\n\\nc'|indent }}{{ 'a\\nb'|indent(2, true) }}{{ 'a\\n\\nb'|indent(2, blank=true) }}{{ 'a\\nb'|indent('> ') }}{{ 'the quick brown fox'|truncate(10) }}{{ 'the quick brown fox'|truncate(10, true, '') }}{{ 'a b c'|wordcount }}{{ '<a&\"\\'>'|e }}{{ 'a b/c'|urlencode }}",
    "  {% if true %}\n  a\n  {% endif %}\n  {%- if true %} b {% endif -%}  \n c\n\n  {# comment #}\n  d {# c2 #}\n  {{ 'e' }}\n  {{- 'f' -}}  \n g\n",
    "a\n  {%+ if true %}b{% endif +%}\nc\n{% if true -%}   \n d{%- endif %}\n e\n",
    "{% raw %}{{ not }} {% this %}{% endraw %}\n  {%- raw -%}  x {{ y }}  {%- endraw -%}  z",
    "<{% generation %}\n  a{{ 1 }} {% endgeneration %}\n>{%- generation -%} b {%- endgeneration -%} c",
    "line{{ '}}' }} {'a': 1} }} %} #} { { {{ {'a': {'b': 1}}['a'] }} {{ '{%' }}\n",
    "a\r\n{% if true %}\r\nb\r\n{% endif %}\r\nc\rd\re\r\n",
    "{% if true %}\r  x\r{% endif %}\r{{ 'a\r\nb' }}\r\n\r\n",
    "\ta\n\t{% set z = 1 %}\t\n\t{{ z }}\n{#- x -#}\n  y\n",
    "\xa0{%- if true -%}\u2003 x\xa0{%- endif -%}\u3000y",
    "{{ ms[1].content|trim }}{{ ms[-1]['content'] }}{{ ms[1:][0].role }}{{ ms|length - 1 }}{{ (ms|last).role }}{{ ms|map(attribute='role')|unique|list }}{{ ms[99] }}",
    # Pieces of larger templates.
    "{%- macro ty(p, req, null=false) -%}{%- if p.type == 'array' -%}{%- if p['items'] -%}{{ ty(p['items'], req) + '[]' }}{%- else -%}any[]{%- endif -%}{%- elif p.enum -%}{{ '\"' + p.enum|join('\" | \"') + '\"' }}{%- elif p.type is defined and p.type is iterable and p.type is not string -%}{{ p.type|join(' | ') }}{%- elif p.oneOf -%}{%- for v in p.oneOf -%}{{ ty(v, req) }}{%- if not loop.last %}{{ ' | ' }}{% endif %}{%- endfor -%}{%- else -%}{{ p.type or 'any' }}{%- endif -%}{%- if null %} | null{% endif -%}{%- endmacro -%}{{ ty({'type': 'array', 'items': {'type': 'array', 'items': {'enum': ['a', 'b']}}}, []) }};{{ ty({'type': ['string', 'null']}, [], true) }};{{ ty({'oneOf': [{'type': 'x'}, {}]}, []) }}",
    "{% for k, v in {'b': {'t': 1}, 'a': {'t': 2}}|dictsort %}{{ loop.index }}.{{ k }}:{{ v.t }}{{ ',' if not loop.last else '' }}{% endfor %}{% for k, v in d|items if v is not string %}{{ k }}{% endfor %}",
    "{{ '%02d:%02d' % (3, 7) }}{{ '%3d|%-3d|%+d' % (5, 5, 5) }}{{ '{:>6}|{:<6}|{:^6}|{:06.2f}|{:x}'.format('a', 'b', 'c', 3.14159, 255) }}{{ '%.1f' % 2 }}{{ '%s' % none }}{{ '%s %s' % ('a', [1]) }}{{ '%r' % 'a' }}{{ '%e' % 12345.678 }}{{ '%g' % 0.5 }}",
    "{{ ms[0].role == 'system' and ms[0].content or 'none' }}{{ ms[0]['role'] in ['system', 'developer'] }}{{ (ms[0].content or '')|trim ~ '!' }}{{ ms[2:]|length }}{{ ms[::2]|map(attribute='role')|join }}{{ ms[-1:][0].role }}",
    "{% set ns = namespace(a=[], s='') %}{% for i in l %}{% set ns.a = ns.a + [i * 2] %}{% set ns.s = ns.s ~ i %}{% endfor %}{{ ns.a }}{{ ns.s }}{{ ns['s'] }}{{ ns.zz is defined }}{% set ns2 = namespace(d) %}{{ ns2.b }}",
    "{% set a = [1] %}{% set b = a + [2] %}{{ a }}{{ b }}{{ (1, 2) + (3,) }}{{ [[1, 2], [3, 4]]|sum(start=[]) if false else 'x' }}{{ [{'n': 1}, {'n': 2}]|sum(attribute='n') }}",
    "{% for m in ms if m.role != 'system' %}{% set outer = loop %}{% for c in m.content.split() %}{{ outer.index }}.{{ loop.index }}{{ c }} {% endfor %}{% endfor %}",
    "{% if not (ms and ms[0].role == 'x') and (n is none or n|length > 0) %}yes{% elif true %}no{% else %}other{% endif %}{% if n %}a{% elif x %}b{% elif l %}c{% endif %}",
    "{% macro a(x) %}<{{ x }}>{% endmacro %}{% macro b(y) %}{{ a(y)|upper|replace('<', '(') }}{% endmacro %}{{ b('q') }}{{ a(a(1)) }}{% set z = a('k') %}{{ z|length }}{{ z is string }}",
    "{%- set h -%}  {% for i in l %}{{ i }}{% if not loop.last %}, {% endif %}{% endfor %}  {%- endset -%}[{{ h }}]",
    "{{ {'a': 1, 'b': [true, none]}|tojson }}{{ {'a': {'b': {}}, 'c': []}|tojson(indent=2) }}{{ {1: 'x', none: 2}|tojson }}{{ ('a', 1)|tojson }}{{ [1.5, 1e20, -0.0, 100000.0, 1e16, 123456789.123]|tojson }}{{ \"a'b\"|tojson }}{{ '\\n\\t/'|tojson }}",
    "{{ 1e16 }} {{ 123456789012345680.0 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ 0.0001 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }} {{ 10 / 5 }} {{ 7 / 2 * 2 }} {{ 3.0 * 2 }} {{ -7.5 % 2 }} {{ 1.0 == 1 }} {{ 5 // 0.3 }} {{ (2.675)|round(2) }} {{ 1234.5|int }} {{ '1e3'|int }} {{ '1e3'|float }} {{ 0.5|round }} {{ 1.5|round }}",
    "{{ 'a,b;c'.replace(',', ' ').replace(';', ' ').split() }}{{ 'x'.join(['1', '2']) ~ '' }}{{ 'AbC'|lower|upper|title }}{{ '  x '.strip()|length }}{{ 'abc'[1:] }}{{ 'abc'[-2] }}{{ 'abc'[5] }}{{ 'a' * 3 }}{{ '-' * 0 }}{{ 'abc'|first }}{{ 'abc'|last }}{{ 'hello world foo'.split(' ')[1:]|join('_') }}",
    "{{ 'x' if not x else 'y' }}{{ x if x is defined else 'q' }}{{ (x|default({})).get('k', 'z') }}{{ x|default([])|length }}{{ (n or {}).k is defined }}{{ n.k is defined }}{{ d.k|default('e')|upper }}{{ l.5 is defined }}",
    "{{ [1, 2, 3]|map('string')|join('-') }}{{ ['b', 'a']|sort|join }}{{ [3, 1]|sort|first }}{{ [1, 2, 3, 4]|batch(2)|map('join', '+')|join('/') }}{{ ['x', 'y']|map('format', 1)|list if false else '' }}{{ ms|map(attribute='content')|map('trim')|map('length')|list }}{{ [0, 1, '', 'a', none, []]|select|list }}{{ [1, 2, 3]|select('greaterthan', 1)|list }}{{ [1, 2, 3]|select('in', [1, 3])|list }}",
    "a\n    {%- if true %}\n    b\n    {%- endif %}\n    {% if true -%}\n      c\n    {%- endif %}\n\n\n{{ 'd' }}\n\n{% if true %}\n{% endif %}\ne{%- if false %}{% else %} f {% endif %}\n",
    "{#- one -#}\n{# two\n lines #}\nx {#- three #} y\n  {# four #}  \nz{# five -#}\n  w",
    "{{ '\u4f60\u597d'|length }}{{ '\U0001f600'|length }}{{ '\x41' }}{{ '\101' }}{{ 'a\\\nb' }}{{ \"\\'\" }}{{ 'a\tb'.expandtabs(4) }}",
    "{% for x in [1, 2, 3] %}{% if x is divisibleby 2 %}{% continue %}{% endif %}{% for y in [1, 2] %}{% if y == 2 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}",
    "{% call(u) (none or w0) %}{% endcall %}",
    "{% macro lst(items) %}{% for i in items %}{{ caller(i, loop.index) }}{% endfor %}{% endmacro %}{% call(i, n) lst(['a', 'b']) %}<{{ n }}{{ i }}>{% endcall %}",
    "{{ range is defined }}{{ namespace is defined }}{{ tools is defined }}{{ loop is defined }}",
    "{{ messages }}{{ undefined_name }}{{ undefined_name|length }}{{ undefined_name|list }}{{ undefined_name|join(',') }}{{ undefined_name|trim }}{{ undefined_name|upper }}{{ undefined_name == '' }}{{ undefined_name is none }}{{ undefined_name is string }}{{ undefined_name is mapping }}",
    "{{ l|length > 2 and l[0] > l[1] }}{{ not l }}{{ l|length == 3 }}{{ (l|length - 1) * 2 }}{{ l[l|length - 1] }}{{ l[:l|length - 1] }}{{ ms[loop_index|default(0)].role }}",
    "{{ 'A' < 'a' }}{{ 'a' <= 'b' }}{{ [] == [] }}{{ {} == {} }}{{ none == false }}{{ 0 == false }}{{ '' == none }}{{ 'abc' > 'abd' }}{{ (1, 'a') == (1, 'a') }}{{ {'a': 1} == {'a': 1.0} }}",
    "{{ 'user' 'name' }}{{ {'a': 1}.items()|list }}{{ {'a': 1}.keys()|first }}{{ {'b': 2, 'a': 1}|items|sort }}{{ {'b': 2, 'a': 1}.values()|sum }}{{ dict([('k', 1)]) }}{{ dict(a=1)|length }}{{ {'a': 1, **{}} if false else '' }}",
    "{{ (1, 2) * 2 }}{{ 'a' % [1] }}{{ ''|select|list }}{{ 3|round }}{{ 2.5 is divisibleby 2 }}{{ false|map('string')|list }}",
    # Failures.
    "{{ 'a' % 1 }}",
    "{{ 5|indent }}",
    "{{ d.zz|int }}",
    "{{ (1, 2) < [1] }}",
    "{% generation %}a",
    "{{ raise_exception('no') }}",
    "{{ x.y }}",
    "{{ x() }}",
    "{{ s.nosuch() }}",
    "{{ 'a' + 1 }}",
    "{{ x + 'a' }}",
    "{{ l.append(1) }}",
    "{{ s|nosuch }}",
    "{{ s is nosuch }}",
    "{{ n|length }}",
    "{{ 1 < 'a' }}",
    "{% if %}",
    "{% for i in n %}{% endfor %}",
    "{% endif %}",
    "{{ 'a' }",
    "{% nosuch %}",
    "{{ d|tojson(indent='x') }}{{ x|tojson }}",
    "{% if true %}open",
    "{{ ''.split('') }}",
    "{{ (1, 2)|join(x.y) }}",
    "{% set d.b = 1 %}",
]


def result(template, variables):
    try:
        return {"text": _compile_jinja_template(template).render(**variables)}
    except Exception as error:  # Whatever Python says: which words it uses is not compared.
        kind = "refused" if type(error) is jinja2.exceptions.TemplateError else "failed"
        return {kind: f"{type(error).__name__}: {error}"}


def reads(template):
    """What a template reads of its caller's variables; of one that is none, nothing."""
    try:
        environment = _compile_jinja_template(template).environment
        return sorted(meta.find_undeclared_variables(environment.parse(template)) - set(environment.globals))
    except Exception:
        return None


def main():
    assert transformers.__version__ == "5.24.0" and jinja2.__version__ == "3.1.6"
    cases = []
    for family, template in FAMILIES.items():
        for conversation, variables in CONVERSATIONS.items():
            all_variables = {**STANDARD, **variables}
            cases.append({"name": f"{family}, {conversation}", "template": family, "variables": conversation, **result(template, all_variables)})
    folder = pathlib.Path(__file__).parent
    more = (folder / "template-pieces.jinja").read_text().splitlines()
    pieces = [{"template": template, "reads": reads(template), **result(template, V)} for template in PIECES + more]
    out = folder.parent / "test/fixtures/chat-templates.json"
    out.parent.mkdir(exist_ok=True)
    data = {
        "made": "scripts/make-template-fixtures.py: transformers 5.24.0, jinja2 3.1.6",
        "templates": FAMILIES,
        "reads": {family: reads(template) for family, template in FAMILIES.items()},
        "conversations": {name: {**STANDARD, **variables} for name, variables in CONVERSATIONS.items()},
        "cases": cases,
        "variables": V,
        "pieces": pieces,
    }
    out.write_text(json.dumps(data, ensure_ascii=True, indent=1) + "\n")
    print(f"{len(cases)} conversations, {len(pieces)} pieces: {out.name}")


main()
