package watch

// Every is Files with another interval than Poll.
var Every = files

// Folders is what is watched for one file.
var Folders = folders
