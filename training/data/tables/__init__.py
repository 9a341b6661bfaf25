"""Data sets in tables: CSV files with their images, and the descriptions of their labels.

radiograph_table      reader of the CSV format of this project
annotation_columns    labels, masks, boxes and further facts in the columns of a CSV
described             rows in the terms of a description
"""
