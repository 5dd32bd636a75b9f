# Doxygen's view of a header: without what is protected, and without the members that it calls internal
# (`/// Internal…`), which are public for coir's own templates only. Lines keep their numbers.

/^ *protected:$/ { state = "protected" }
/^ *(private:|public:|};)$/ { state = "" }
/^ *\/\/\/ Internal/ { state = "comment"; print ""; next }
/^ *\/\/\// && state == "comment" { print ""; next }
/^ *(\/\/\/.*|)$/ && state == "member" { state = "" }
{
  if (state == "comment") state = "member"
  print state == "" ? $0 : ""
}
