"""Variants of an exported trunk in float16 or int8, made only if they answer as well.

variants                             tries each precision, and keeps it or says why not
half_precision quantization          conversions of the graph
sensitivity trunk_parts              parts that stay in float32
calibration_images                   images that set the ranges of int8
answer_errors same_decisions drift   what a variant changes
"""
